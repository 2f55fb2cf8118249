package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

const (
	metadata   = 0
	inlineData = 1
	fileBacked = 2

	maxBody = 256 << 20
	maxName = 4096
)

// writeTar puts the tar together again: its own bytes out of the stream, the content of files out of the folders.
func writeTar(stream *bufio.Reader, folders []*os.File, out io.Writer) error {
	roots := make([]*os.Root, len(folders))
	for {
		kind, err := stream.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch kind {
		case metadata, inlineData:
			err = copyBytes(stream, out)
		case fileBacked:
			err = copyFile(stream, folders, roots, out)
		default:
			err = fmt.Errorf("chunk of unknown type %d", kind)
		}
		if err != nil {
			return err
		}
	}
}

func copyBytes(stream io.Reader, out io.Writer) error {
	var length uint32
	if err := binary.Read(stream, binary.LittleEndian, &length); err != nil {
		return err
	}
	if length > maxBody {
		return fmt.Errorf("chunk of %d bytes", length)
	}
	_, err := io.CopyN(out, stream, int64(length))
	return err
}

func copyFile(stream io.Reader, folders []*os.File, roots []*os.Root, out io.Writer) error {
	var header struct {
		Size             uint64
		Slot, NameLength uint32
	}
	if err := binary.Read(stream, binary.LittleEndian, &header); err != nil {
		return err
	}
	if header.NameLength > maxName || uint64(header.Slot) >= uint64(len(folders)) {
		return fmt.Errorf("name of %d bytes in folder %d", header.NameLength, header.Slot)
	}
	name := make([]byte, header.NameLength)
	if _, err := io.ReadFull(stream, name); err != nil {
		return err
	}
	// Of the slots only those count that a chunk names; others may hold anything. No name leads out of an os.Root.
	if roots[header.Slot] == nil {
		root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", folders[header.Slot].Fd()))
		if err != nil {
			return err
		}
		roots[header.Slot] = root
	}
	file, err := roots[header.Slot].Open(string(name))
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || uint64(info.Size()) != header.Size {
		return fmt.Errorf("%q is not the file that was meant (%v)", name, err)
	}
	_, err = io.CopyN(out, file, int64(header.Size))
	return err
}
