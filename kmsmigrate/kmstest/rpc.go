package kmstest

import (
	"net/http"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// apiVersion is the one version of the KMS API.
const apiVersion = "2016-01-20"

// rpcCall is a request in the RPC style that all OpenAPI clients speak.
type rpcCall struct {
	x      *exchange
	door   model.Door
	params params
	broken *model.Error // why the parameters could not be read
	action string
	format answerFormat
	inURL  bool // parameters came in the query
}

func openRPC(x *exchange) call {
	c := &rpcCall{x: x, door: x.face.door, inURL: x.http.URL.RawQuery != ""}
	c.params, c.broken = readParams(x.http, x.body)
	c.action = c.params.get("Action")
	if c.action == "" {
		c.action = x.http.Header.Get("X-Acs-Action")
	}
	c.format = c.chooseFormat()
	x.record.Action = c.action
	return c
}

// chooseFormat: XML is the default of the RPC style, but not of its newest signature, whose clients send no Format at all.
func (c *rpcCall) chooseFormat() answerFormat {
	switch strings.ToUpper(c.params.get("Format")) {
	case "JSON":
		return formatJSON
	case "XML":
		return formatXML
	}
	if isACS3(c.x.http) || strings.Contains(c.x.http.Header.Get("Accept"), "json") {
		return formatJSON
	}
	return formatXML
}

func (c *rpcCall) keyHint() string {
	if id := c.params.get("KeyId"); id != "" {
		return c.door.KeyIDOf(id)
	}
	if blob, err := decodeBase64(c.params.get("CiphertextBlob")); err == nil {
		if s, ok := model.ParseAdvance(blob); ok {
			return c.door.KeyIDOfVersion(s.VersionID)
		}
		if s, ok := model.ParseBlob(blob); ok {
			return c.door.KeyIDOfVersion(s.VersionID)
		}
	}
	return ""
}

func (c *rpcCall) run() reply {
	if c.x.face.cloud.config.HTTPSOnly && c.x.http.TLS == nil {
		return c.fail(&model.Error{Status: http.StatusBadRequest, Code: "InvalidProtocol.NeedSsl",
			Message: "Your request is denied as lack of ssl protect."})
	}
	if err := c.authenticate(); err != nil {
		return c.fail(err)
	}
	op, known := operations[c.action]
	switch {
	case c.action == "":
		return c.fail(model.MissingParameter("Action"))
	case !known:
		return c.fail(&model.Error{Status: http.StatusNotFound, Code: "InvalidAction.NotFound",
			Message: "Specified api is not found, please check your url and method."})
	case c.door.Instance != nil && !op.business:
		return c.fail(model.Unsupported())
	}
	if c.door.Instance == nil && !c.x.face.cloud.admits(c.door.Region.ID, op.class, c.action) {
		return c.fail(model.Throttled())
	}
	dry, err := c.params.boolean("DryRun")
	if err != nil {
		return c.fail(err)
	}
	answer, err := op.do(c)
	if err != nil {
		return c.fail(err)
	}
	if dry && op.dryRun {
		c.x.record.KeyVersionID, c.x.record.PlaintextOut = "", 0
		return c.fail(&model.Error{Status: http.StatusBadRequest, Code: "DryRunOperationError",
			Message: "The request would have succeeded, but the DryRun parameter was used."})
	}
	answer.stamp(c.x.record.RequestID)
	return c.format.success(c.action, answer)
}

func (c *rpcCall) fail(e *model.Error) reply {
	c.x.record.Code = e.Code
	return c.format.failure(e, c.x.record.RequestID, c.x.http.Host)
}

// used records which key did the work.
func (c *rpcCall) used(keyID, versionID string) {
	c.x.record.KeyID, c.x.record.KeyVersionID = keyID, versionID
}

// plaintextIn records that the request carried n bytes of plaintext.
func (c *rpcCall) plaintextIn(n int) {
	c.x.record.PlaintextIn += n
	c.x.record.PlaintextInURL = c.inURL && n > 0
}

func (c *rpcCall) plaintextOut(n int) { c.x.record.PlaintextOut += n }
