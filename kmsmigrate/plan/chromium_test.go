package plan_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// chromium is a headless browser that is spoken to over its debugging pipe: JSON messages, each ended by a zero byte.
type chromium struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	id      int
	session string
}

// openChromium starts the browser with one empty page. It ends with the test.
func openChromium(t *testing.T, path string) *chromium {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	theirIn, to, err := os.Pipe()
	require.NoError(t, err)
	from, theirOut, err := os.Pipe()
	require.NoError(t, err)
	profile, err := os.MkdirTemp("", "keyhaul-chromium")
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // file descriptors 3 and 4
	require.NoError(t, cmd.Start())
	require.NoError(t, theirIn.Close())
	require.NoError(t, theirOut.Close())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		_, _ = to.Close(), from.Close()
		_ = os.RemoveAll(profile) // its children may still write: what is left is in the temporary directory
	})
	c := &chromium{t: t, to: to, from: bufio.NewReader(from)}
	var made struct{ TargetID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &made)
	var attached struct{ SessionID string }
	c.call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	c.call("Page.enable", nil, nil)
	return c
}

// call asks for one thing and decodes the answer. Events that come between are dropped, but for the one that wait asks for.
func (c *chromium) call(method string, params, answer any) {
	c.t.Helper()
	c.id++
	body := map[string]any{"id": c.id, "method": method}
	if params != nil {
		body["params"] = params
	}
	if c.session != "" {
		body["sessionId"] = c.session
	}
	text, err := json.Marshal(body)
	require.NoError(c.t, err)
	_, err = c.to.Write(append(text, 0))
	require.NoError(c.t, err)
	for {
		m := c.next()
		if m.ID != c.id {
			continue
		}
		require.Nil(c.t, m.Error, "%s: %s", method, m.Error)
		if answer != nil {
			require.NoError(c.t, json.Unmarshal(m.Result, answer))
		}
		return
	}
}

// message is what comes over the pipe.
type message struct {
	ID     int
	Method string
	Result json.RawMessage
	Error  json.RawMessage
}

func (c *chromium) next() message {
	c.t.Helper()
	text, err := c.from.ReadBytes(0)
	require.NoError(c.t, err)
	var m message
	require.NoError(c.t, json.Unmarshal(text[:len(text)-1], &m))
	return m
}

// show puts a page into a window of that size and returns when it is drawn. A phone has touch, two pixels to each of the page's, and obeys the page's viewport.
func (c *chromium) show(page string, width, height int, phone bool) {
	c.t.Helper()
	scale := 1
	if phone {
		scale = 2
	}
	c.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}, nil)
	var tree struct {
		FrameTree struct{ Frame struct{ ID string } }
	}
	c.call("Page.getFrameTree", nil, &tree)
	c.call("Page.setDocumentContent", map[string]any{"frameId": tree.FrameTree.Frame.ID, "html": page}, nil)
	c.eval(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))`, nil)
}

// eval runs a script in the page and decodes what it, or its promise, gives.
func (c *chromium) eval(script string, into any) {
	c.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	c.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &answer)
	require.Nil(c.t, answer.ExceptionDetails, "%s", answer.ExceptionDetails)
	if into != nil {
		require.NoError(c.t, json.Unmarshal(answer.Result.Value, into))
	}
}

// picture returns the window as a PNG, scrolled so that a point of the page is at its top where the page is long enough.
func (c *chromium) picture(y float64) []byte {
	c.t.Helper()
	c.eval(fmt.Sprintf(`new Promise(done => { scrollTo(0, %f); requestAnimationFrame(() => requestAnimationFrame(() => done(1))) })`, y), nil)
	var shot struct{ Data []byte }
	c.call("Page.captureScreenshot", map[string]any{"format": "png", "optimizeForSpeed": true}, &shot)
	return shot.Data
}
