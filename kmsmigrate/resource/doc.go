// Package resource describes what a KMS holds, keys, versions, aliases, secrets and instances, as plain Go types, and the
// operations on them as interfaces. Package alikms implements them for the real service:
//
//	for id, err := range plane.Keys(ctx, resource.KeyFilter{}) { … }
//	key, err := plane.DescribeKey(ctx, id)
//
// Whoever only looks takes an [Inventory]; whoever carries out a migration takes a [ControlPlane].
//
// Field values are the service's own words ("Aliyun_AES_256", "ENCRYPT/DECRYPT"), with constants for those that a
// migration branches on. What the service leaves empty is empty or zero here. Source of all names and limits: Alibaba
// Cloud KMS, API reference 2016-01-20.
package resource
