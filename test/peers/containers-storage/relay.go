package main

import (
	"net"
	"syscall"
)

// The library serves a socket that it makes itself, and a program that is started by itself needs one with a path: relay passes
// on, message by message, the bytes and descriptors that arrive at one end, and keeps no descriptor.
func relay(from, to *net.UnixConn) {
	defer from.CloseRead()
	defer to.CloseWrite()
	bytes := make([]byte, 1<<16)
	control := make([]byte, syscall.CmsgSpace(253*4))
	for {
		count, controlCount, _, _, err := from.ReadMsgUnix(bytes, control)
		if err != nil || count == 0 {
			return
		}
		descriptors, err := descriptorsIn(control[:controlCount])
		if err == nil {
			err = send(to, bytes[:count], descriptors)
		}
		for _, descriptor := range descriptors {
			syscall.Close(descriptor)
		}
		if err != nil {
			return
		}
	}
}

func descriptorsIn(control []byte) (descriptors []int, err error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	for _, message := range messages {
		passed, failure := syscall.ParseUnixRights(&message)
		if failure != nil {
			err = failure
		}
		descriptors = append(descriptors, passed...)
	}
	return descriptors, err
}

func send(to *net.UnixConn, bytes []byte, descriptors []int) error {
	var control []byte
	if len(descriptors) > 0 {
		control = syscall.UnixRights(descriptors...)
	}
	count, _, err := to.WriteMsgUnix(bytes, control, nil)
	if err == nil && count < len(bytes) {
		_, err = to.Write(bytes[count:])
	}
	return err
}
