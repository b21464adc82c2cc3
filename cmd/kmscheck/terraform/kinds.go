package terraform

import (
	"maps"
	"slices"
)

// kind says what is done to the resources of one kind. Which attributes force a new resource is what the provider's documentation of it says.
type kind struct {
	names  bool     // has dkms_instance_id, which is to name the instance
	ignore []string // attributes that force a new resource, or that the move changes, and that must not lead to destroy-and-create
	keys   string   // attribute that takes a key's id and can change in place
	shared bool     // keys is a list of "key/<id>": the new key is added, and the old one stays
	note   string   // what no rewriting settles, and has to be looked at
}

// kinds are the resources that are rewritten. All of them get prevent_destroy: with one of them destroyed, applications are locked out or data is
// lost. Those of keys are the document's; the others are those that the provider's documentation marks ForceNew and that a migration touches.
var kinds = map[string]kind{
	"alicloud_kms_key":    {names: true, ignore: []string{"dkms_instance_id", "automatic_rotation", "rotation_interval", "protection_level"}},
	"alicloud_kms_secret": {names: true, ignore: []string{"dkms_instance_id", "enable_automatic_rotation", "rotation_interval"}},
	"alicloud_kms_alias":  {keys: "key_id"},
	"alicloud_kms_key_version": {ignore: []string{"key_id"},
		note: "version ids change with the move: if a plan wants to create it, take it out of the state, for another version would be a rotation"},
	"alicloud_kms_ciphertext": {ignore: []string{"key_id"},
		note: "its state holds ciphertext of the old key: encrypt it again on purpose, when all that read it read both"},
	"alicloud_kms_instance":                 {},
	"alicloud_kms_policy":                   {ignore: []string{"kms_instance_id"}, keys: "resources", shared: true},
	"alicloud_kms_network_rule":             {},
	"alicloud_kms_application_access_point": {},
	"alicloud_kms_client_key":               {note: "a client key expires, and every change makes another: make the next one as a resource of its own, and take this one out when nothing uses it"},
}

// data are the data sources that have to be looked at.
var data = map[string]string{ //nolint:gosec // names of kinds, no credentials
	"alicloud_kms_ciphertext":      "it encrypts again at every apply, with the key that it names",
	"alicloud_kms_plaintext":       "its state holds plaintext, and it opens only what the key of its region opens",
	"alicloud_kms_key_versions":    "version ids change with the move",
	"alicloud_kms_secret_versions": "its state can hold the values of secrets",
}

// Kinds returns the kinds of resources that Rewrite changes, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }
