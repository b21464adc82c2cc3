package model

import (
	"encoding/base64"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Secret is one secret of a region, in an instance or outside. All fields are guarded by Cloud.mu.
type Secret struct {
	Name          string
	Type          string // Generic, Rds, RAMCredentials, ECS
	Description   string
	KeyID         string // the key that encrypts it; empty: one of the service's own
	Instance      *Instance
	Extended      string // ExtendedConfig, JSON
	Tags          map[string]string
	Created       time.Time
	Updated       time.Time
	PlannedDelete time.Time // zero: not being deleted
	Versions      []*SecretVersion

	region *Region
}

// SecretVersion is one value.
type SecretVersion struct {
	ID       string
	Data     string
	DataType string // text or binary
	Created  time.Time
	Stages   []string
}

// The stages that the service moves itself.
const (
	Current  = "ACSCurrent"
	Previous = "ACSPrevious"
)

const (
	maxSecretData = 30720 // bytes
	maxVersionID  = 64
	maxStages     = 8
)

var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,64}$`)

func resourceExists() *Error {
	return rejected("ResourceExist", "The resource already exists.")
}

func inDeleteWindow() *Error {
	return rejected("ResourceInDeleteWindow", "The resource is in its deletion window.")
}

// NewSecret says what CreateSecret makes.
type NewSecret struct {
	Name        string
	Type        string // Generic
	VersionID   string
	Data        string
	DataType    string // text
	KeyRef      string
	InstanceID  string
	Description string
	Extended    string
	Tags        map[string]string
}

// CreateSecret makes a secret with its first version, staged ACSCurrent.
func (d Door) CreateSecret(in NewSecret) (SecretInfo, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	if err := in.check(); err != nil {
		return SecretInfo{}, err
	}
	if old := d.Region.secrets[in.Name]; old != nil {
		if !old.PlannedDelete.IsZero() {
			return SecretInfo{}, inDeleteWindow()
		}
		return SecretInfo{}, resourceExists()
	}
	s := &Secret{Name: in.Name, Type: in.Type, Description: in.Description, Extended: in.Extended, Tags: maps.Clone(in.Tags),
		Created: c.now(), Updated: c.now(), region: d.Region}
	if s.Type == "" {
		s.Type = "Generic"
	}
	if s.Tags == nil {
		s.Tags = map[string]string{}
	}
	if err := s.place(d, in); err != nil {
		return SecretInfo{}, err
	}
	dataType := in.DataType
	if dataType == "" {
		dataType = "text"
	}
	s.Versions = []*SecretVersion{{ID: in.VersionID, Data: in.Data, DataType: dataType, Created: c.now(), Stages: []string{Current}}}
	d.Region.secrets[s.Name] = s
	return s.info(), nil
}

func (in NewSecret) check() *Error {
	switch {
	case in.Name == "":
		return MissingParameter("SecretName")
	case !secretName.MatchString(in.Name), strings.HasPrefix(in.Name, "acs/") && (in.Type == "" || in.Type == "Generic"):
		return InvalidParameter("SecretName")
	case !slices.Contains([]string{"", "Generic", "Rds", "RAMCredentials", "ECS"}, in.Type):
		return InvalidParameter("SecretType")
	case len(in.Description) > maxDescription:
		return InvalidParameter("Description")
	case len(in.Tags) > maxTags:
		return InvalidParameter("Tags")
	}
	return checkSecretValue(in.VersionID, in.Data, in.DataType)
}

func checkSecretValue(versionID, data, dataType string) *Error {
	switch {
	case versionID == "":
		return MissingParameter("VersionId")
	case len(versionID) > maxVersionID:
		return InvalidParameter("VersionId")
	case data == "":
		return MissingParameter("SecretData")
	case len(data) > maxSecretData || !utf8.ValidString(data):
		return InvalidParameter("SecretData")
	}
	switch dataType {
	case "", "text":
	case "binary":
		if _, err := base64.StdEncoding.DecodeString(data); err != nil {
			return InvalidParameter("SecretData")
		}
	default:
		return InvalidParameter("SecretDataType")
	}
	return nil
}

// place checks where the secret goes: key and secret must be in the same instance, and the key symmetric and usable.
func (s *Secret) place(d Door, in NewSecret) *Error {
	if in.InstanceID != "" {
		if s.Instance = d.Region.instances[in.InstanceID]; s.Instance == nil {
			return InstanceNotFound()
		}
		if in.KeyRef == "" {
			return MissingParameter("EncryptionKeyId")
		}
	}
	if in.KeyRef == "" {
		return nil
	}
	k, err := d.key(in.KeyRef)
	switch {
	case err != nil:
		return err
	case k.Instance != s.Instance, !k.Symmetric(), k.Service():
		return InvalidParameter("EncryptionKeyId")
	}
	s.KeyID = k.ID
	return k.usable()
}

// secret finds a secret that is not being deleted. Cloud.mu must be held.
func (d Door) secret(name string) (*Secret, *Error) {
	s, err := d.anySecret(name)
	if err == nil && !s.PlannedDelete.IsZero() {
		return nil, inDeleteWindow()
	}
	return s, err
}

func (d Door) anySecret(name string) (*Secret, *Error) {
	if name == "" {
		return nil, MissingParameter("SecretName")
	}
	if strings.HasPrefix(name, "acs:") {
		resource, err := d.resource(name)
		if err != nil {
			return nil, err
		}
		name = strings.TrimPrefix(resource, "secret/")
	}
	s := d.Region.secrets[name]
	if s == nil || d.Instance != nil && s.Instance != d.Instance {
		return nil, ResourceNotFound()
	}
	return s, nil
}

// decryptable is nil when the secret's key lets it be read.
func (s *Secret) decryptable() *Error {
	if s.KeyID == "" {
		return nil
	}
	k := s.region.keys[s.KeyID]
	if k == nil {
		return KeyNotFound()
	}
	return k.usable()
}

func (s *Secret) version(id string) *SecretVersion {
	for _, v := range s.Versions {
		if v.ID == id {
			return v
		}
	}
	return nil
}

func (s *Secret) staged(stage string) *SecretVersion {
	for _, v := range s.Versions {
		if slices.Contains(v.Stages, stage) {
			return v
		}
	}
	return nil
}

// stage puts a stage on a version and takes it off any other. Where ACSCurrent was, ACSPrevious is then.
func (s *Secret) stage(v *SecretVersion, stage string) {
	old := s.staged(stage)
	if old == v {
		return
	}
	if old != nil {
		old.unstage(stage)
		if stage == Current {
			s.stage(old, Previous)
		}
	}
	v.Stages = append(v.Stages, stage)
}

func (v *SecretVersion) unstage(stage string) {
	v.Stages = slices.DeleteFunc(v.Stages, func(s string) bool { return s == stage })
}

// PutSecretValue adds a version. The same id with the same value changes nothing; with another value it is refused.
func (d Door) PutSecretValue(name, versionID, data, dataType string, stages []string) (SecretVersion, *Error) {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	s, err := d.secret(name)
	if err != nil {
		return SecretVersion{}, err
	}
	if err := checkSecretValue(versionID, data, dataType); err != nil {
		return SecretVersion{}, err
	}
	if len(stages) > maxStages || slices.Contains(stages, Previous) {
		return SecretVersion{}, InvalidParameter("VersionStages")
	}
	if s.Type != "Generic" {
		return SecretVersion{}, Unsupported() // the service itself puts the values of managed secrets
	}
	if err := s.decryptable(); err != nil {
		return SecretVersion{}, err
	}
	if dataType == "" {
		dataType = "text"
	}
	v := s.version(versionID)
	switch {
	case v == nil:
		v = &SecretVersion{ID: versionID, Data: data, DataType: dataType, Created: c.now()}
		s.Versions = append(s.Versions, v)
	case v.Data != data || v.DataType != dataType:
		return SecretVersion{}, resourceExists()
	default:
		return v.clone(), nil
	}
	if len(stages) == 0 {
		stages = []string{Current}
	}
	for _, stage := range stages {
		s.stage(v, stage)
	}
	s.Updated = c.now()
	return v.clone(), nil
}

func (v *SecretVersion) clone() SecretVersion {
	out := *v
	out.Stages = slices.Clone(v.Stages)
	return out
}

// MoveStage is UpdateSecretVersionStage.
func (d Door) MoveStage(name, stage, from, to string) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	s, err := d.secret(name)
	switch {
	case err != nil:
		return err
	case stage == "":
		return MissingParameter("VersionStage")
	case from == "" && to == "":
		return MissingParameter("MoveToVersion")
	case to == "" && stage == Current:
		return InvalidParameter("RemoveFromVersion") // something must be current
	}
	has := s.staged(stage)
	if from != "" && (has == nil || has.ID != from) {
		return InvalidParameter("RemoveFromVersion")
	}
	if to == "" {
		has.unstage(stage)
	} else {
		v := s.version(to)
		if v == nil {
			return InvalidParameter("MoveToVersion")
		}
		s.stage(v, stage)
	}
	s.Updated = c.now()
	return nil
}

func notFoundVersion() *Error {
	return &Error{http.StatusNotFound, "Forbidden.ResourceNotFound", "The secret version is not found."}
}
