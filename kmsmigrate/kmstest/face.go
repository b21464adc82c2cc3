package kmstest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// face is one listening address: a region's http or https gateway, or an instance. Every face has a port of its own, because the instance
// SDK pools its transports by address for the whole process, whatever CA or certificate comes with them.
type face struct {
	cloud *Cloud
	door  model.Door
	addr  string
	ca    *authority // nil: plain http

	server *http.Server
	served sync.WaitGroup

	opened     atomic.Int64
	handshakes atomic.Int64
}

// openFace listens on the address that a state file has for the face, or on a free port. Cloud.mu must be held.
func (c *Cloud) openFace(door model.Door, ca *authority, saved string) (*face, error) {
	if c.closed {
		return nil, errors.New("kmstest: the cloud is closed")
	}
	l, err := c.listen(saved, door.Instance != nil)
	if err != nil {
		return nil, err
	}
	f := &face{cloud: c, door: door, addr: l.Addr().String(), ca: ca}
	// No time-outs: they cost a timer per request, and a test that wants one has a Fault for it.
	f.server = &http.Server{ //nolint:gosec // loopback, and Close drops every connection
		Handler:   f,
		ErrorLog:  log.New(io.Discard, "", 0), // failed handshakes are wanted here
		ConnState: f.watch,
		Protocols: new(http.Protocols),
	}
	l = &outageListener{l, f}
	f.server.Protocols.SetHTTP1(true) // the instance gateway is never spoken to in HTTP/2
	if ca != nil {
		l = tls.NewListener(l, f.tlsConfig())
	}
	c.faces = append(c.faces, f)
	f.served.Go(func() { _ = f.server.Serve(l) }) // it ends with http.ErrServerClosed
	return f, nil
}

// used are the addresses that instances of this process have had. The instance SDK keeps one transport per address for as long as the process
// lives, with the CA that it saw first, so an instance on the address of an earlier one is mistrusted. That pool is global, and so this must be.
var used sync.Map

// listen opens the saved address, or a free port; for an instance, one that no other has had.
func (c *Cloud) listen(saved string, instance bool) (net.Listener, error) {
	const tries = 50 // after thousands of instances there may be no fresh port left
	var passed []net.Listener
	defer func() {
		for _, l := range passed {
			_ = l.Close()
		}
	}()
	for {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", c.hostPort(saved))
		if err != nil || !instance {
			return l, err
		}
		_, again := used.LoadOrStore(l.Addr().String(), true)
		if !again || saved != "" || len(passed) == tries {
			return l, nil
		}
		passed = append(passed, l) // kept open, so that the next try gets another
	}
}

func (f *face) tlsConfig() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if f.cloud.faults.wrongCertificate(f) {
				return f.strangeCertificate()
			}
			return &f.ca.server, nil
		},
		VerifyConnection: func(tls.ConnectionState) error {
			f.handshakes.Add(1)
			return nil
		},
	}
	if f.door.Instance != nil {
		// The real gateway lets the client offer its certificate and judges the signature, not the certificate.
		config.ClientAuth = tls.RequestClientCert
	}
	return config
}

// strangeCertificate is signed by a CA that no client trusts.
func (f *face) strangeCertificate() (*tls.Certificate, error) {
	a, err := newAuthority("stranger", net.ParseIP(f.cloud.config.Host))
	if err != nil {
		return nil, err
	}
	return &a.server, nil
}

// outageListener resets connections while there is an outage.
type outageListener struct {
	net.Listener
	face *face
}

func (l *outageListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || !l.face.cloud.faults.outage(l.face) {
			return conn, err
		}
		reset(conn)
	}
}

// reset closes a connection as a crashing peer or a firewall would.
func reset(conn net.Conn) {
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}

// instanceID is empty on the shared gateway.
func (f *face) instanceID() string {
	if f.door.Instance == nil {
		return ""
	}
	return f.door.Instance.ID
}

func (f *face) watch(_ net.Conn, s http.ConnState) {
	if s == http.StateNew {
		f.opened.Add(1)
	}
}

// close drops every connection at once: nobody waits for a fake's farewell.
func (f *face) close() error {
	err := f.server.Close()
	f.served.Wait()
	return err
}

// shutdownContext ends when the client goes away or the cloud is closed.
func (f *face) shutdownContext(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		select {
		case <-f.cloud.done:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}
