package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

const block = 512

// rebuild turns a splitfdstream into a tar: it puts the files' content in, the padding after it, and the two blocks at the
// end. The results are the tar's digest and length.
func rebuild(stream *os.File, files []*os.File) (string, int64, error) {
	in := &pieces{stream: bufio.NewReaderSize(stream, 1<<18), files: files, piece: strings.NewReader("")}
	hash := sha256.New()
	out := &counter{to: hash}
	announced := int64(-1)
	header := make([]byte, block)
	for {
		if _, err := io.ReadFull(in, header); err == io.EOF {
			break
		} else if err != nil {
			return "", 0, err
		}
		out.Write(header)
		size, err := number(header[124:136])
		if err != nil {
			return "", 0, err
		}
		switch header[156] {
		case 'x', 'g', 'L', 'K':
			// Extension records keep their padding.
			record := make([]byte, size+padding(size))
			if _, err := io.ReadFull(in, record); err != nil {
				return "", 0, err
			}
			out.Write(record)
			if header[156] == 'x' {
				announced = announcedSize(record)
			}
			continue
		case '0', 0, '7':
			if announced >= 0 {
				size = announced
			}
			if _, err := io.CopyN(out, in, size); err != nil {
				return "", 0, err
			}
			out.Write(make([]byte, padding(size)))
		}
		announced = -1
	}
	out.Write(make([]byte, 2*block))
	return fmt.Sprintf("sha256:%x", hash.Sum(nil)), out.count, nil
}

func padding(size int64) int64 {
	return (block - size%block) % block
}

// number reads a number of a tar header: octal, or two's complement with the highest bit set.
func number(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		return int64(binary.BigEndian.Uint64(field[len(field)-8:])), nil
	}
	digits := strings.Trim(string(field), "\x00 ")
	if digits == "" {
		return 0, nil
	}
	return strconv.ParseInt(digits, 8, 64)
}

// announcedSize is the value of the record size of a PAX header, or -1.
func announcedSize(records []byte) int64 {
	for {
		length, _, found := bytes.Cut(records, []byte(" "))
		total, err := strconv.Atoi(string(length))
		if !found || err != nil || total <= len(length) || total > len(records) {
			return -1
		}
		if value, found := bytes.CutPrefix(records[len(length)+1:total], []byte("size=")); found {
			size, err := strconv.ParseInt(strings.TrimSpace(string(value)), 10, 64)
			if err != nil {
				return -1
			}
			return size
		}
		records = records[total:]
	}
}

// pieces reads the bytes of a splitfdstream's pieces, one after the other.
type pieces struct {
	stream *bufio.Reader
	files  []*os.File
	piece  io.Reader
}

func (p *pieces) Read(buffer []byte) (int, error) {
	for {
		count, err := p.piece.Read(buffer)
		if count > 0 || err != io.EOF {
			return count, err
		}
		var prefix int64
		if err := binary.Read(p.stream, binary.LittleEndian, &prefix); err != nil {
			return 0, err
		}
		switch {
		case prefix < 0:
			p.piece = io.LimitReader(p.stream, -prefix)
		case prefix < int64(len(p.files)):
			p.piece = io.NewSectionReader(p.files[prefix], 0, math.MaxInt64)
		default:
			return 0, fmt.Errorf("file %d of %d", prefix, len(p.files))
		}
	}
}

type counter struct {
	to    io.Writer
	count int64
}

func (c *counter) Write(bytes []byte) (int, error) {
	c.count += int64(len(bytes))
	return c.to.Write(bytes)
}
