package plan

import "strings"

// guides names, for each cloud product, the guide that moves what the product itself encrypts ("Migrate keys across regions": follow the guide of the
// product). The titles are what to search the help centre for; a product that is not here is named by itself.
var guides = map[string]string{
	"oss":           "OSS: cross-region replication of server-side encrypted objects",
	"ecs":           "ECS: copy encrypted images and snapshots to another region",
	"ebs":           "ECS: copy encrypted images and snapshots to another region",
	"rds":           "RDS: cross-region backup and restore with disk encryption or TDE",
	"polardb":       "PolarDB: cross-region migration of clusters with TDE",
	"redis":         "Tair (Redis): migrate instances with TDE to another region",
	"mongodb":       "MongoDB: migrate instances with TDE or disk encryption to another region",
	"nas":           "NAS: migrate encrypted file systems to another region",
	"odps":          "MaxCompute: migrate projects with storage encryption",
	"maxcompute":    "MaxCompute: migrate projects with storage encryption",
	"sls":           "SLS: data encryption of Logstores and replication to another region",
	"log":           "SLS: data encryption of Logstores and replication to another region",
	"acr":           "ACR: replicate encrypted and signed images to another region",
	"ack":           "ACK: encryption of Secrets at rest, for a cluster in another region",
	"ots":           "Tablestore: migrate encrypted tables to another region",
	"kafka":         "Kafka: migrate instances with disk encryption",
	"elasticsearch": "Elasticsearch: snapshots of clusters with encrypted disks",
	"fc":            "Function Compute: no change of SDK; redeploy in the destination",
	"actiontrail":   "ActionTrail: create a trail with a bucket in the destination",
}

func productGuide(product string) string {
	if g, ok := guides[strings.ToLower(product)]; ok {
		return g
	}
	return product + ": the product's data migration guide"
}
