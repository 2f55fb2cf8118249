package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"syscall"
)

type server struct{ *net.UnixConn }

func connect(path string) (server, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	return server{conn}, err
}

type reply struct {
	Parameters json.RawMessage
	Continues  bool
	Error      string
}

// call makes a call that may be answered in several messages; result is that of the last, the files those of all in order.
func (s server) call(method string, parameters, result any) (files []*os.File, err error) {
	message, err := json.Marshal(map[string]any{"method": method, "parameters": parameters, "more": true})
	if err != nil {
		return nil, err
	}
	if _, err := s.Write(append(message, 0)); err != nil {
		return nil, err
	}
	var pending []byte
	for {
		end := bytes.IndexByte(pending, 0)
		if end < 0 {
			more, passed, err := s.receive()
			files = append(files, passed...)
			if err != nil {
				return files, fmt.Errorf("%s: %w", method, err)
			}
			pending = append(pending, more...)
			continue
		}
		var answer reply
		if err := json.Unmarshal(pending[:end], &answer); err != nil {
			return files, err
		}
		pending = pending[end+1:]
		if answer.Error != "" {
			return files, fmt.Errorf("%s: %s %s", method, answer.Error, answer.Parameters)
		}
		if !answer.Continues {
			return files, json.Unmarshal(answer.Parameters, result)
		}
	}
}

func (s server) receive() ([]byte, []*os.File, error) {
	// The kernel passes no more than 253 descriptors at a time, and drops what has no room.
	content, control := make([]byte, 1<<16), make([]byte, syscall.CmsgSpace(253*4))
	count, controlCount, flags, _, err := s.ReadMsgUnix(content, control)
	if err != nil {
		return nil, nil, err
	}
	files, err := filesIn(control[:controlCount])
	if err == nil && flags&syscall.MSG_CTRUNC != 0 {
		err = fmt.Errorf("descriptors were lost")
	}
	return content[:count], files, err
}

func filesIn(control []byte) (files []*os.File, err error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	for _, message := range messages {
		numbers, failure := syscall.ParseUnixRights(&message)
		if failure != nil {
			return files, failure
		}
		for _, number := range numbers {
			files = append(files, os.NewFile(uintptr(number), "passed"))
		}
	}
	return files, err
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
