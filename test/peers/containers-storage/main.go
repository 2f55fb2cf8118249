// A server of org.composefs.Oci that is containers-storage itself: this program only opens the store and connects a socket with
// the one that the library serves. See ../README.md.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"
)

func main() {
	// The library starts this program again for what it must do in a chroot.
	if reexec.Init() {
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("SOCKET GRAPHROOT IMAGE")
	}
	runroot, err := os.MkdirTemp("", "containers-storage-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(runroot)
	store, err := storage.GetStore(storage.StoreOptions{GraphRoot: args[1], RunRoot: runroot, GraphDriverName: "overlay"})
	if err != nil {
		return err
	}
	defer store.Shutdown(true)
	image, err := store.Lookup(args[2])
	if err != nil {
		return err
	}
	return serve(args[0], store, image)
}

func serve(path string, store storage.Store, image string) error {
	layers, err := storage.SplitFDStreamStoreFor(store)
	if err != nil {
		return err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		listener.Close()
	}()
	fmt.Println("ready")
	for {
		client, err := listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := connectWithStore(client, layers, image); err != nil {
			fmt.Fprintln(os.Stderr, "connection refused:", err)
			client.Close()
		}
	}
}

func connectWithStore(client *net.UnixConn, layers *storage.SplitFDStreamStore, image string) error {
	file, err := layers.Socket(image)
	if err != nil {
		return err
	}
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return err
	}
	server := conn.(*net.UnixConn)
	go relay(client, server)
	go relay(server, client)
	return nil
}
