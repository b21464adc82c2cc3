// Package bench compares envelope with others who seal records, and has the original software open what envelope's layouts
// wrote and re-wrapped. It is a module of its own, so that nobody else downloads its peers.
package bench
