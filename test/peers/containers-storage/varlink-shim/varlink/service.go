// Package varlink stands in for the library of the same name where the module proxy does not give it out: the few calls with
// which go.podman.io/storage serves a connection, written from the protocol's description and the places that call them.
package varlink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
)

const serviceInterface = "org.varlink.service"

const serviceDescription = `interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
`

// Interface is what a service can be made to serve.
type Interface interface {
	VarlinkGetName() string
	VarlinkGetDescription() string
	VarlinkDispatch(ctx context.Context, call Call, method string) error
}

// Service answers the calls that arrive on a connection.
type Service struct {
	vendor, product, version, url string

	names      []string
	interfaces map[string]Interface
}

// NewService makes a service that has only the interface with which services tell about themselves.
func NewService(vendor, product, version, url string) (*Service, error) {
	return &Service{vendor: vendor, product: product, version: version, url: url, names: []string{serviceInterface}, interfaces: map[string]Interface{}}, nil
}

// RegisterInterface adds an interface.
func (s *Service) RegisterInterface(added Interface) error {
	name := added.VarlinkGetName()
	if _, there := s.interfaces[name]; there || name == serviceInterface {
		return fmt.Errorf("%s is served already", name)
	}
	s.interfaces[name] = added
	s.names = append(s.names, name)
	return nil
}

// ServeConn answers one call after the other, and closes the connection when the client has or when one cannot be answered.
func (s *Service) ServeConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// Descriptors that a client sends are dropped by the kernel, as nothing here asks for them.
	reader := bufio.NewReader(conn)
	for {
		message, err := reader.ReadBytes(0)
		if err != nil {
			return
		}
		call := Call{conn: conn}
		if err := json.Unmarshal(bytes.TrimSuffix(message, []byte{0}), &call.request); err != nil {
			return
		}
		if err := s.dispatch(ctx, call); err != nil {
			return
		}
	}
}

func (s *Service) dispatch(ctx context.Context, call Call) error {
	dot := strings.LastIndexByte(call.request.Method, '.')
	if dot <= 0 {
		return call.ReplyInvalidParameter(ctx, "method")
	}
	name, method := call.request.Method[:dot], call.request.Method[dot+1:]
	if name == serviceInterface {
		return s.tellAboutItself(ctx, call, method)
	}
	if found, there := s.interfaces[name]; there {
		return found.VarlinkDispatch(ctx, call, method)
	}
	return call.send(reply{Error: serviceInterface + ".InterfaceNotFound", Parameters: map[string]string{"interface": name}})
}

func (s *Service) tellAboutItself(ctx context.Context, call Call, method string) error {
	switch method {
	case "GetInfo":
		return call.Reply(ctx, map[string]any{"vendor": s.vendor, "product": s.product, "version": s.version, "url": s.url, "interfaces": s.names})
	case "GetInterfaceDescription":
		var wanted struct{ Interface string }
		if err := call.GetParameters(&wanted); err != nil {
			return call.ReplyInvalidParameter(ctx, "parameters")
		}
		description := serviceDescription
		if wanted.Interface != serviceInterface {
			found, there := s.interfaces[wanted.Interface]
			if !there {
				return call.ReplyInvalidParameter(ctx, "interface")
			}
			description = found.VarlinkGetDescription()
		}
		return call.Reply(ctx, map[string]string{"description": description})
	}
	return call.ReplyMethodNotFound(ctx, method)
}
