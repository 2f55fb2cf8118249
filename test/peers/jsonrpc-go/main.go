// A client and a server of the splitfdstream methods that know nothing of composefs-bridge: all bytes on the socket are
// those of the published jsonrpc-fdpass-go library. See ../README.md.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "client":
		return client(args[1], args[2])
	case len(args) == 3 && args[0] == "serve":
		return serve(args[1], args[2], 0)
	case len(args) == 4 && args[0] == "serve":
		batch, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return serve(args[1], args[2], batch)
	}
	return errors.New("client SOCKET IMAGE | serve SOCKET FOLDER [FDS_PER_SENDMSG]")
}
