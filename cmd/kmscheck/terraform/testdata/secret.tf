resource "alicloud_kms_secret" "db" {
  secret_name                   = "db"
  secret_data                   = var.password // not here
  version_id                    = "v1"
  force_delete_without_recovery = false
}
