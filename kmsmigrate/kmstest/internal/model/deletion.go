package model

import (
	"net/http"
	"strings"
	"time"
)

// Deletion windows in days [KMS document ScheduleKeyDeletion].
const (
	MinWindow = 7
	MaxWindow = 366
)

// ScheduleKeyDeletion starts a key's waiting window. It can be taken back until the window ends; after that, nothing can.
func (d Door) ScheduleKeyDeletion(ref string, days int) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	if strings.HasPrefix(ref, "alias/") {
		return InvalidParameter("KeyId")
	}
	k, err := d.key(ref)
	switch {
	case err != nil:
		return err
	case days < MinWindow || days > MaxWindow:
		return InvalidParameter("PendingWindowInDays")
	case k.Service():
		return Unsupported()
	case k.Deletion.Protected:
		return &Error{http.StatusConflict, "Rejected.DeletionProtected", "The key is protected from deletion."}
	case k.State == PendingDeletion:
		return StateModifiedFailed()
	}
	k.State = PendingDeletion
	k.Deletion.Date = c.now().Add(time.Duration(days) * day)
	k.suspend()
	c.schedule(k.Deletion.Date)
	return nil
}

// CancelKeyDeletion takes it back. The key is enabled again.
func (d Door) CancelKeyDeletion(ref string) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(ref)
	if err != nil {
		return err
	}
	if k.State != PendingDeletion {
		return StateModifiedFailed()
	}
	k.Deletion.Date = time.Time{}
	k.State = Enabled
	if len(k.Versions) == 0 {
		k.State = PendingImport
	}
	k.resume()
	return nil
}

// suspend and resume pause automatic rotation while a key is not enabled.
func (k *Key) suspend() {
	if k.Rotation.Status == "Enabled" {
		k.Rotation.Status = "Suspended"
	}
}

func (k *Key) resume() {
	if k.Rotation.Status == "Suspended" && k.State == Enabled {
		k.Rotation.Status = "Enabled"
		k.Region.cloud.schedule(k.Rotation.Next)
	}
}

// SetDeletionProtection is by ARN, not by id.
func (d Door) SetDeletionProtection(arn string, on bool, description string) *Error {
	if !strings.HasPrefix(arn, "acs:") {
		return InvalidParameter("ProtectedResourceArn")
	}
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(arn)
	if err != nil {
		return err
	}
	if k.State == PendingDeletion {
		return stateRejected(k.State)
	}
	k.Deletion.Protected, k.Deletion.ProtectionDescription = on, description
	return nil
}

// SetDescription is UpdateKeyDescription.
func (d Door) SetDescription(ref, description string) *Error {
	c := d.Region.cloud
	c.lock()
	defer c.unlock()
	k, err := d.key(ref)
	switch {
	case err != nil:
		return err
	case len(description) > maxDescription:
		return InvalidParameter("Description")
	case k.Service():
		return Unsupported()
	case k.State == PendingDeletion:
		return stateRejected(k.State)
	}
	k.Description = description
	return nil
}
