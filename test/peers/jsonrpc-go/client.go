package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	fdpass "github.com/bootc-dev/jsonrpc-fdpass-go"
)

type layerReport struct {
	ID         string `json:"id"`
	Digest     string `json:"digest"`
	Size       int64  `json:"size"`
	Files      int    `json:"files"`
	StreamSize any    `json:"streamSize"`
}

// client asks for an image and all of its layers, rebuilds the tar of each, and prints what came as one line of JSON.
func client(socket, image string) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &caller{sender: fdpass.NewSender(conn), receiver: fdpass.NewReceiver(conn)}
	defer c.receiver.Close()

	answer, _, err := c.call("GetImage", map[string]any{"imageId": image})
	if err != nil {
		return err
	}
	ids, _ := answer["layerDigests"].([]any)
	layers := make([]layerReport, 0, len(ids))
	for i := range ids {
		// The top layer comes first, so the next one is the parent.
		id, parent := ids[i].(string), ""
		if i+1 < len(ids) {
			parent = ids[i+1].(string)
		}
		report, err := c.layer(id, parent)
		if err != nil {
			return fmt.Errorf("layer %s: %w", id, err)
		}
		layers = append(layers, report)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"manifest": answer["manifest"], "config": answer["config"], "layers": layers,
	})
}

type caller struct {
	sender   *fdpass.Sender
	receiver *fdpass.Receiver
	id       int
}

func (c *caller) layer(id, parent string) (layerReport, error) {
	result, fds, err := c.call("GetSplitFDStream", map[string]any{"layerId": id, "parentId": parent})
	if err != nil {
		return layerReport{}, err
	}
	defer closeAll(fds)
	if len(fds) == 0 {
		return layerReport{}, fmt.Errorf("no descriptors")
	}
	digest, size, err := rebuild(fds[0], fds[1:])
	return layerReport{id, digest, size, len(fds) - 1, result["streamSize"]}, err
}

func (c *caller) call(method string, params map[string]any) (map[string]any, []*os.File, error) {
	c.id++
	request := fdpass.NewRequest(method, params, c.id)
	if err := c.sender.Send(&fdpass.MessageWithFds{Message: request}); err != nil {
		return nil, nil, err
	}
	answer, err := c.receiver.Receive()
	if err != nil {
		return nil, nil, err
	}
	response, ok := answer.Message.(*fdpass.Response)
	if !ok {
		return nil, nil, fmt.Errorf("%s: answered with a %T", method, answer.Message)
	}
	if response.Error != nil {
		return nil, nil, fmt.Errorf("%s: %w", method, response.Error)
	}
	if id, ok := response.ID.(float64); !ok || int(id) != c.id {
		return nil, nil, fmt.Errorf("%s: answer %v to request %d", method, response.ID, c.id)
	}
	result, ok := response.Result.(map[string]any)
	if !ok {
		return nil, nil, fmt.Errorf("%s: the result is a %T", method, response.Result)
	}
	return result, answer.FileDescriptors, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
