// pull-layer writes the tar of a layer to standard output, byte for byte, after asking a varlink server for it:
//
//	pull-layer SOCKET REPOSITORY DIFF_ID >layer.tar
//
// It has nothing but the contracts in ../../proto and Go's own library: org.composefs.Repository.OpenRepository and
// org.composefs.Oci.GetLayer in call.go, the stream that a layer comes as in stream.go.
package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "pull-layer SOCKET REPOSITORY DIFF_ID")
		os.Exit(2)
	}
	if err := pull(os.Args[1], os.Args[2], os.Args[3], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pull-layer:", err)
		os.Exit(1)
	}
}

func pull(socket, repository, diffID string, out io.Writer) error {
	server, err := connect(socket)
	if err != nil {
		return err
	}
	defer server.Close()

	var opened struct{ Handle int64 }
	files, err := server.call("org.composefs.Repository.OpenRepository", map[string]any{"path": repository}, &opened)
	closeAll(files)
	if err != nil {
		return err
	}

	var layer struct {
		DirCount int `json:"dir_count"`
	}
	params := map[string]any{"diff_id": diffID, "consumer_has_cap_dac_override": os.Geteuid() == 0}
	files, err = server.call("org.composefs.Oci.GetLayer", map[string]any{"handle": opened.Handle, "params": params}, &layer)
	// What follows the folders only says, by being open, that the layer is in use.
	defer closeAll(files)
	if err != nil {
		return err
	}
	if layer.DirCount < 0 || len(files) < 1+layer.DirCount {
		return errors.New("descriptors are missing")
	}

	// A server that fails ends the stream as one does that is done: only the digest tells.
	digest := sha256.New()
	buffered := bufio.NewWriterSize(io.MultiWriter(out, digest), 1<<18)
	if err := writeTar(bufio.NewReaderSize(files[0], 1<<16), files[1:1+layer.DirCount], buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	if actual := fmt.Sprintf("sha256:%x", digest.Sum(nil)); actual != diffID {
		return fmt.Errorf("the layer is %s", actual)
	}
	return nil
}
