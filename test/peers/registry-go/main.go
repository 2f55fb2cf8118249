// Command registry-go is the registry of the Go module go-containerregistry, the one behind "crane registry serve",
// with its blobs in a folder.
//
//	registry-go FOLDER     prints "listening on HOST:PORT" first
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: registry-go FOLDER")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	blobs := registry.NewDiskBlobHandler(os.Args[1])
	quiet := log.New(os.Stderr, "", 0)
	log.Fatal(http.Serve(listener, registry.New(registry.WithBlobHandler(blobs), registry.Logger(quiet))))
}
