// A WireGuard client on wireguard-go's own network stack (gVisor), for `./x bench tunnel`.
//
// It reads orders as JSON lines and answers each with one line, like the clients in tests/bench/tunnel.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

type setup struct {
	PrivateKey string `json:"private_key"`
	GatewayKey string `json:"gateway_key"`
	Gateway    string `json:"gateway"`
	Address    string `json:"address"`
}

type order struct {
	Kind    string `json:"kind"`
	To      string `json:"to"`
	Count   int    `json:"count"`
	Seconds float64 `json:"seconds"`
}

type answer struct {
	Bytes   uint64  `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Cpu     float64 `json:"cpu"`
	Memory  uint64  `json:"memory"`
	Failed  int     `json:"failed"`
	Median  float64 `json:"median"`
}

func main() {
	began := time.Now()
	var s setup
	must(json.Unmarshal([]byte(os.Args[1]), &s))
	tun, stack, err := netstack.CreateNetTUN([]netip.Addr{netip.MustParseAddr(s.Address)}, nil, 1420)
	must(err)
	dev := device.NewDevice(tun, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	must(dev.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\npersistent_keepalive_interval=25\n",
		s.PrivateKey, s.GatewayKey, s.Gateway)))
	must(dev.Up())
	dial := func(to string) (net.Conn, error) {
		ctx, end := context.WithTimeout(context.Background(), 20*time.Second)
		defer end()
		return stack.DialContext(ctx, "tcp", to)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		must(json.Unmarshal(lines.Bytes(), &o))
		cpu := processor()
		var a answer
		switch o.Kind {
		case "first":
			c, err := dial(o.To)
			must(err)
			must(touch(c))
			c.Close()
			a.Seconds = time.Since(began).Seconds()
		case "down":
			a = down(dial, o)
		case "up":
			a = up(dial, o)
		case "latency":
			a = latency(dial, o)
		case "connections":
			a = connections(dial, o)
		}
		a.Cpu = processor() - cpu
		a.Memory = memory()
		text, err := json.Marshal(a)
		must(err)
		fmt.Println(string(text))
	}
}

func down(dial func(string) (net.Conn, error), o order) (a answer) {
	var bytes atomic.Uint64
	var all sync.WaitGroup
	began := time.Now()
	for range o.Count {
		all.Go(func() {
			c, err := dial(o.To)
			must(err)
			defer c.Close()
			c.SetReadDeadline(began.Add(time.Duration(o.Seconds * float64(time.Second))))
			buffer := make([]byte, 256*1024)
			for {
				n, err := c.Read(buffer)
				bytes.Add(uint64(n))
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return answer{Bytes: bytes.Load(), Seconds: time.Since(began).Seconds()}
}

func up(dial func(string) (net.Conn, error), o order) (a answer) {
	var bytes atomic.Uint64
	var all sync.WaitGroup
	began := time.Now()
	end := began.Add(time.Duration(o.Seconds * float64(time.Second)))
	for range o.Count {
		all.Go(func() {
			c, err := dial(o.To)
			must(err)
			defer c.Close()
			buffer := make([]byte, 256*1024)
			c.SetWriteDeadline(end)
			for time.Now().Before(end) {
				if _, err := c.Write(buffer); err != nil {
					break
				}
			}
			must(c.(interface{ CloseWrite() error }).CloseWrite())
			var count [8]byte
			_, err = io.ReadFull(c, count[:])
			must(err)
			bytes.Add(binary.BigEndian.Uint64(count[:]))
		})
	}
	all.Wait()
	return answer{Bytes: bytes.Load(), Seconds: time.Since(began).Seconds()}
}

func latency(dial func(string) (net.Conn, error), o order) (a answer) {
	c, err := dial(o.To)
	must(err)
	defer c.Close()
	var took []float64
	for range o.Count {
		began := time.Now()
		must(touch(c))
		took = append(took, time.Since(began).Seconds())
	}
	slices.Sort(took)
	a.Median = took[len(took)/2]
	return a
}

func connections(dial func(string) (net.Conn, error), o order) (a answer) {
	var failed atomic.Int64
	open := make([]net.Conn, o.Count)
	var all sync.WaitGroup
	began := time.Now()
	for at := range o.Count {
		all.Go(func() {
			c, err := dial(o.To)
			if err == nil {
				err = touch(c)
			}
			if err != nil {
				failed.Add(1)
				return
			}
			open[at] = c
		})
	}
	all.Wait()
	a.Seconds = time.Since(began).Seconds()
	a.Failed = int(failed.Load())
	a.Memory = memory()
	for _, c := range open {
		if c != nil {
			c.Close()
		}
	}
	return a
}

func touch(c net.Conn) error {
	var text [32]byte
	if _, err := c.Write(text[:]); err != nil {
		return err
	}
	_, err := io.ReadFull(c, text[:])
	return err
}

func processor() float64 {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

func memory() (kib uint64) {
	status, err := os.ReadFile("/proc/self/status")
	must(err)
	for line := range strings.SplitSeq(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(rest, &kib)
		}
	}
	return kib * 1024
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
