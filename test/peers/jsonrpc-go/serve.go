package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	fdpass "github.com/bootc-dev/jsonrpc-fdpass-go"
)

// serve serves one image from a folder of prepared files, a descriptor for each file of a layer:
//
//	image.json           the answer to GetImage
//	NAME/stream          the splitfdstream of the layer NAME
//	NAME/files/00000…    its files, in the order of their names
//
// At most batch descriptors go into one sendmsg; 0 leaves it to the library.
func serve(socket, folder string, batch int) error {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			return err
		}
		if err := serveConnection(conn, folder, batch); !errors.Is(err, fdpass.ErrConnectionClosed) {
			fmt.Fprintln(os.Stderr, "connection ended:", err)
		}
	}
}

func serveConnection(conn *net.UnixConn, folder string, batch int) error {
	defer conn.Close()
	sender, receiver := fdpass.NewSender(conn), fdpass.NewReceiver(conn)
	defer receiver.Close()
	if batch > 0 {
		sender.SetMaxFDsPerSendmsg(batch)
	}
	for {
		message, err := receiver.Receive()
		if err != nil {
			return err
		}
		closeAll(message.FileDescriptors)
		request, ok := message.Message.(*fdpass.Request)
		if !ok {
			continue
		}
		result, files, failure := answer(request, folder)
		response := fdpass.NewResponse(result, request.ID)
		if failure != nil {
			response = fdpass.NewErrorResponse(failure, request.ID)
		}
		err = sender.Send(&fdpass.MessageWithFds{Message: response, FileDescriptors: files})
		closeAll(files)
		if err != nil {
			return err
		}
	}
}

func answer(request *fdpass.Request, folder string) (any, []*os.File, *fdpass.Error) {
	params, _ := request.Params.(map[string]any)
	required := map[string]string{"GetImage": "imageId", "GetSplitFDStream": "layerId"}[request.Method]
	if required == "" {
		return nil, nil, &fdpass.Error{Code: -32601, Message: fmt.Sprintf("method %q not found", request.Method)}
	}
	value, _ := params[required].(string)
	if value == "" {
		return nil, nil, &fdpass.Error{Code: -32602, Message: required + " is required"}
	}
	var result any
	var files []*os.File
	var err error
	if request.Method == "GetImage" {
		result, err = image(folder)
	} else {
		result, files, err = layer(filepath.Join(folder, value))
	}
	if err != nil {
		return nil, nil, &fdpass.Error{Code: -32000, Message: err.Error()}
	}
	return result, files, nil
}

func image(folder string) (any, error) {
	text, err := os.ReadFile(filepath.Join(folder, "image.json"))
	return json.RawMessage(text), err
}

func layer(folder string) (result any, files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	paths, err := filepath.Glob(filepath.Join(folder, "files", "*"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range append([]string{filepath.Join(folder, "stream")}, paths...) {
		file, err := os.Open(path)
		if err != nil {
			return nil, files, err
		}
		files = append(files, file)
	}
	info, err := files[0].Stat()
	if err != nil {
		return nil, files, err
	}
	return map[string]any{"streamSize": info.Size()}, files, nil
}
