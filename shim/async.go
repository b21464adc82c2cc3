package shim

import (
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
)

// EnableAsync does nothing: asynchronous calls always work, with up to 128 at once.
func (c *Client) EnableAsync(int, int) {}

// Shutdown does nothing. Asynchronous calls still answer after it; the originals' would leave their callers waiting.
func (c *Client) Shutdown() {}

// AddAsyncTask runs task on another goroutine. The error is nil, but for a nil task.
func (c *Client) AddAsyncTask(task func()) error {
	if task == nil {
		return sdkerrors.NewClientError("SDK.InvalidParam", "The task is nil.", nil)
	}
	go func() {
		c.tasks <- struct{}{}
		defer func() { <-c.tasks }()
		task()
	}()
	return nil
}

func withChan[R any](c *Client, call func() (*R, error)) (<-chan *R, <-chan error) {
	got, failed := make(chan *R, 1), make(chan error, 1)
	_ = c.AddAsyncTask(func() { // the task is not nil
		defer close(got)
		defer close(failed)
		response, err := call()
		if err != nil {
			failed <- err
		} else {
			got <- response
		}
	})
	return got, failed
}

func withCallback[R any](c *Client, call func() (*R, error), callback func(*R, error)) <-chan int {
	done := make(chan int, 1)
	_ = c.AddAsyncTask(func() { // the task is not nil
		defer close(done)
		response, err := call()
		if callback != nil {
			callback(response, err)
		}
		done <- 1
	})
	return done
}
