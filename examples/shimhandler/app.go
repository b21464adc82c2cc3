package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
)

// The access key of the application. It was made up for it, and is good for nothing but the handler.
const (
	appID     = "orders"
	appSecret = "made-up-for-orders-alone"
)

// app is an application: it asks its KMS, and knows of nothing else.
type app interface {
	call(action string, parameters map[string]string) (result, error)
	close() error
}

// result is what the application was answered.
type result struct {
	Status int               `json:"status"`
	Side   string            `json:"side"` // what the handler's header says: the application does not need to look at it
	Answer map[string]string `json:"-"`
}

//go:embed app.mjs
var nodeSource []byte

// nodeApp is app.mjs in a process of its own.
type nodeApp struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startNode(ctx context.Context, folder string, at net.Addr) (app, error) {
	source := filepath.Join(folder, "app.mjs")
	if err := os.WriteFile(source, nodeSource, 0o600); err != nil {
		return nil, err
	}
	process := exec.CommandContext(ctx, "node", source)
	process.Env = append(os.Environ(), "KMS_ID="+appID, "KMS_SECRET="+appSecret)
	if tcp, ok := at.(*net.TCPAddr); ok {
		process.Env = append(process.Env, "KMS_HOST="+tcp.IP.String(), fmt.Sprintf("KMS_PORT=%d", tcp.Port))
	} else {
		process.Env = append(process.Env, "KMS_SOCKET="+at.String())
	}
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &nodeApp{process, in, bufio.NewReader(out)}, process.Start()
}

func (a *nodeApp) call(action string, parameters map[string]string) (result, error) {
	line, err := json.Marshal(map[string]any{"action": action, "parameters": parameters})
	if err != nil {
		return result{}, err
	}
	if _, err := a.in.Write(append(line, '\n')); err != nil {
		return result{}, err
	}
	if line, err = a.out.ReadBytes('\n'); err != nil {
		return result{}, fmt.Errorf("the Node program ended: %w", err)
	}
	var got struct {
		result
		Answer map[string]any `json:"answer"`
	}
	if err := json.Unmarshal(line, &got); err != nil {
		return result{}, err
	}
	got.result.Answer = texts(got.Answer)
	return got.result, nil
}

func (a *nodeApp) close() error { return errors.Join(a.in.Close(), a.process.Wait()) }

// goApp is a program that has only the official SDK.
type goApp struct {
	client    *kms.Client
	transport *http.Transport
}

// socket keeps the SDK from putting a dialer of its own into the transport.
type socket struct{ http.RoundTripper }

func startGo(at net.Addr) (app, error) {
	client, err := kms.NewClientWithOptions("cn-hangzhou", sdk.NewConfig(), credentials.NewAccessKeyCredential(appID, appSecret))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, at.Network(), at.String())
	}}
	client.Domain = "kms.local"
	client.SetTransport(socket{transport})
	return &goApp{client, transport}, nil
}

func (a *goApp) call(action string, parameters map[string]string) (result, error) {
	request := requests.NewCommonRequest()
	request.Product, request.Version, request.ApiName, request.Domain = "Kms", "2016-01-20", action, a.client.Domain
	request.QueryParams = parameters
	response, err := a.client.ProcessCommonRequest(request)
	var refused *sdkerrors.ServerError
	if errors.As(err, &refused) {
		return result{Status: refused.HttpStatus(), Answer: map[string]string{"Code": refused.ErrorCode()}}, nil
	}
	if err != nil {
		return result{}, err
	}
	var answer map[string]any
	if err := json.Unmarshal(response.GetHttpContentBytes(), &answer); err != nil {
		return result{}, err
	}
	side := http.Header(response.GetHttpHeaders()).Get("X-Keyhaul-Side")
	return result{response.GetHttpStatus(), side, texts(answer)}, nil
}

func (a *goApp) close() error {
	a.transport.CloseIdleConnections()
	return nil
}

// texts are the fields of an answer that are text.
func texts(answer map[string]any) map[string]string {
	out := map[string]string{}
	for name, value := range answer {
		if text, ok := value.(string); ok {
			out[name] = text
		}
	}
	return out
}
