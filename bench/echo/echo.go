// SPDX-License-Identifier: Apache-2.0
// Echo server with a goroutine for each connection: what echo_threads is compared with.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

const requestSize = 64

func serve(conn net.Conn) {
	defer conn.Close()
	data := make([]byte, requestSize)
	for {
		n, err := conn.Read(data)
		if err != nil {
			return
		}
		if _, err := conn.Write(data[:n]); err != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "listen:", err)
		os.Exit(1)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "accept:", err)
			os.Exit(1)
		}
		go serve(conn)
	}
}
