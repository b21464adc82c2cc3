package alikms

import (
	"fmt"
	"log/slog"
)

// String returns the endpoint and region, and no credential: configs get logged when a program starts.
func (c GatewayConfig) String() string {
	return fmt.Sprintf("GatewayConfig(region %s, endpoint %s, instance %s)", c.Region, c.Endpoint, c.Instance)
}

// GoString returns what String returns, so that %#v does not leak either.
func (c GatewayConfig) GoString() string { return c.String() }

// LogValue returns what String returns.
func (c GatewayConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String returns the endpoint and instance, and no credential.
func (c InstanceConfig) String() string {
	return fmt.Sprintf("InstanceConfig(endpoint %s, instance %s)", c.Endpoint, c.Instance)
}

// GoString returns what String returns, so that %#v does not leak either.
func (c InstanceConfig) GoString() string { return c.String() }

// LogValue returns what String returns.
func (c InstanceConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }
