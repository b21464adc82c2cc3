package kmstest

import (
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

type instancesAnswer struct {
	answer
	page
	KmsInstances struct{ KmsInstance []instanceEntry }
}

type instanceEntry struct{ KmsInstanceId, KmsInstanceArn string }

func listKmsInstances(c *rpcCall) (stamped, *model.Error) {
	some, p, err := paged(c.params, c.door.Region.Instances(), largestPage)
	if err != nil {
		return nil, err
	}
	a := &instancesAnswer{page: p}
	a.KmsInstances.KmsInstance = make([]instanceEntry, len(some))
	for i, s := range some {
		a.KmsInstances.KmsInstance[i] = instanceEntry{s.ID, s.ARN}
	}
	return a, nil
}

type instanceAnswer struct {
	answer
	KmsInstance instanceDetail
}

type instanceDetail struct {
	InstanceId            string
	InstanceName          string
	Status                string
	Spec                  int
	KeyNum                int
	SecretNum             string // a number, as a string
	VpcNum                int
	VpcId                 string
	ZoneIds               string
	VswitchIds            string
	BindVpcs              struct{ BindVpc []struct{} }
	StartDate             string
	EndDate               string
	CreateTime            string
	CaCertificateChainPem string
}

func getKmsInstance(c *rpcCall) (stamped, *model.Error) {
	i, err := c.door.Region.Instance(c.params.get("KmsInstanceId"))
	if err != nil {
		return nil, err
	}
	a := &instanceAnswer{KmsInstance: instanceDetail{
		InstanceId: i.ID, InstanceName: i.Name, Status: "Connected", Spec: i.QPS, KeyNum: i.Keys, SecretNum: i.Secrets, VpcNum: 1,
		VpcId: "vpc-" + i.ID, ZoneIds: c.door.Region.ID + "-h," + c.door.Region.ID + "-k", VswitchIds: "vsw-" + i.ID,
		StartDate: model.Stamp(i.Created), EndDate: model.Stamp(i.Ends), CreateTime: model.Stamp(i.Created),
		CaCertificateChainPem: c.x.face.cloud.instanceCA(i.ID),
	}}
	a.KmsInstance.BindVpcs.BindVpc = []struct{}{}
	return a, nil
}

type regionsAnswer struct {
	answer
	Regions struct{ Region []regionEntry }
}

type regionEntry struct{ RegionId string }

func describeRegions(c *rpcCall) (stamped, *model.Error) {
	a := &regionsAnswer{}
	for _, id := range c.x.face.cloud.model.RegionIDs() {
		a.Regions.Region = append(a.Regions.Region, regionEntry{id})
	}
	return a, nil
}

type accountAnswer struct {
	answer
	AccountStatus string
}

func describeAccountKmsStatus(*rpcCall) (stamped, *model.Error) {
	return &accountAnswer{AccountStatus: "Enabled"}, nil
}

func openKmsService(*rpcCall) (stamped, *model.Error) { return &answer{}, nil }
