package plan

import "strings"

// guide is a page of a cloud product's own documentation: the one that moves what the product encrypts, or, where the help centre has none, the one that
// says which key encrypts what. URL is empty where this project knows no page: Title is what to search the help centre for.
type guide struct{ Title, URL string }

// help is where the international help centre stands.
const help = "https://www.alibabacloud.com/help/en/"

// guides are by the product's code, as it stands in alias/acs/<code> and in a service key's creator ("Migrate keys across regions": data that a
// product encrypts follows the product's guide). The addresses were seen in 2026.
var guides = map[string]guide{
	"oss":           {"OSS: cross-region replication, with KMS-encrypted objects", help + "oss/user-guide/cross-region-replication-with-the-same-account"},
	"ecs":           {"ECS: copy a snapshot, and encrypt the copy with a key of the destination", help + "ecs/user-guide/copy-a-snapshot"},
	"rds":           {"RDS: cross-region backup and restore; look at what it says of TDE and disk encryption", help + "rds/apsaradb-rds-for-mysql/use-the-cross-region-backup-feature-of-an-apsaradb-rds-for-mysql-instance"},
	"polardb":       {"PolarDB: migrate data between clusters with DTS", help + "dts/user-guide/migrate-data-between-polardb-for-mysql-clusters-1"},
	"redis":         {"Tair (Redis): what TDE prevents, migration with DTS among it", help + "redis/user-guide/enable-tde"},
	"mongodb":       {"MongoDB: TDE, and restoring its collections", help + "apsaradb-for-mongodb/latest/configure-tde-for-an-apsaradb-for-mongodb-instance"},
	"nas":           {"NAS: migrate data between file systems", help + "data-online-migration/user-guide/nas-migration-practices"},
	"maxcompute":    {"MaxCompute: storage encryption of a project", help + "maxcompute/security-and-compliance/storage-encryption"},
	"sls":           {"Simple Log Service: encryption of Logstores", help + "sls/developer-reference/encrypt-data"},
	"acr":           {"Container Registry: replicate images between instances", help + "acr/user-guide/replicate-images-between-instances-in-the-same-account"},
	"ack":           {"Container Service (ACK): encryption of Kubernetes Secrets", help + "ack/ack-managed-and-ack-dedicated/security-and-compliance/use-kms-to-encrypt-kubernetes-secrets-2"},
	"ots":           {"Tablestore: data encryption", help + "tablestore/data-encryption"},
	"elasticsearch": {"Elasticsearch: backup and restore between clusters", help + "elasticsearch/latest/data-backup-overview"},
	"rocketmq":      {"RocketMQ: storage encryption", help + "apsaramq-for-rocketmq/cloud-message-queue-rocketmq-5-x-series/security-and-compliance/message-storage-encryption"},
	"actiontrail":   {"ActionTrail: create a trail with a bucket of the destination", help + "actiontrail/latest/create-a-single-account-trail"},
	"kafka":         {"Kafka: migrate instances with disk encryption to another region", ""},
	"fc":            {"Function Compute: deploy functions in another region (the SDK needs no change)", ""},
}

// sameProduct are other codes of the same products.
var sameProduct = map[string]string{"ebs": "ecs", "disk": "ecs", "odps": "maxcompute", "log": "sls", "cs": "ack", "cr": "acr", "kvstore": "redis", "dds": "mongodb", "alikafka": "kafka", "tablestore": "ots"}

// productGuide names the guide of a product, with its address or with what to search for.
func productGuide(product string) string {
	code := strings.ToLower(product)
	if other, ok := sameProduct[code]; ok {
		code = other
	}
	g, ok := guides[code]
	switch {
	case !ok:
		return "search the help centre for: " + product + ", data migration between regions; products that encrypt with KMS are listed in " + help + "kms/key-management-service/user-guide/integration-with-kms"
	case g.URL == "":
		return "search the help centre for: " + g.Title
	default:
		return g.Title + " - " + g.URL
	}
}
