package varlink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// The kernel takes no more with one message.
const descriptorLimit = 253

type request struct {
	Method     string          `json:"method"`
	Parameters json.RawMessage `json:"parameters"`
	Oneway     bool            `json:"oneway"`
}

type reply struct {
	Parameters any    `json:"parameters,omitempty"`
	Error      string `json:"error,omitempty"`
}

// Call is one call of a client, to be answered once.
type Call struct {
	conn    net.Conn
	request request
}

// GetParameters decodes what the client passed.
func (c *Call) GetParameters(into any) error {
	if c.request.Parameters == nil {
		return errors.New("the call has no parameters")
	}
	return json.Unmarshal(c.request.Parameters, into)
}

// Reply answers the call.
func (c *Call) Reply(_ context.Context, parameters any) error {
	return c.send(reply{Parameters: parameters})
}

// ReplyWithFDs answers the call; the files go with the first byte of the answer and stay the caller's.
func (c *Call) ReplyWithFDs(_ context.Context, parameters any, files []*os.File) error {
	return c.send(reply{Parameters: parameters}, files...)
}

// ReplyError answers with an error of the interface that was called.
func (c *Call) ReplyError(_ context.Context, name string, parameters any) error {
	if dot := strings.LastIndexByte(name, '.'); dot <= 0 || name[:dot] == serviceInterface {
		return fmt.Errorf("%q is no error of an interface", name)
	}
	return c.send(reply{Error: name, Parameters: parameters})
}

// ReplyInvalidParameter says which parameter cannot be used.
func (c *Call) ReplyInvalidParameter(_ context.Context, parameter string) error {
	return c.send(reply{Error: serviceInterface + ".InvalidParameter", Parameters: map[string]string{"parameter": parameter}})
}

// ReplyMethodNotFound says that the interface has no such method.
func (c *Call) ReplyMethodNotFound(_ context.Context, method string) error {
	return c.send(reply{Error: serviceInterface + ".MethodNotFound", Parameters: map[string]string{"method": method}})
}

func (c *Call) send(answer reply, files ...*os.File) error {
	if c.request.Oneway {
		return nil
	}
	message, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	message = append(message, 0)
	if len(files) == 0 {
		_, err = c.conn.Write(message)
		return err
	}
	socket, ok := c.conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("no files can be sent over a %T", c.conn)
	}
	if len(files) > descriptorLimit {
		return fmt.Errorf("%d files are more than one message can carry", len(files))
	}
	sent, err := sendWithFiles(socket, message, files)
	if err == nil && sent < len(message) {
		_, err = socket.Write(message[sent:])
	}
	return err
}

func sendWithFiles(socket *net.UnixConn, message []byte, files []*os.File) (sent int, err error) {
	numbers := make([]int, 0, len(files))
	// Each file is held inside the next call of Control, so that none can be closed before all are sent.
	var hold func(rest []*os.File) error
	hold = func(rest []*os.File) error {
		if len(rest) == 0 {
			sent, _, err = socket.WriteMsgUnix(message, syscall.UnixRights(numbers...), nil)
			return err
		}
		raw, err := rest[0].SyscallConn()
		if err != nil {
			return err
		}
		var inner error
		err = raw.Control(func(number uintptr) {
			numbers = append(numbers, int(number))
			inner = hold(rest[1:])
		})
		return errors.Join(err, inner)
	}
	err = hold(files)
	return sent, err
}
