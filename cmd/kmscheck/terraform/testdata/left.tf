resource "alicloud_kms_key" "computed" {
  description = "x"
  lifecycle {
    ignore_changes = concat([description], var.more)
  }
}

resource "alicloud_kms_key" "commented" {
  lifecycle {
    ignore_changes = [
      description, # why
    ]
  }
}

data "alicloud_kms_ciphertext" "blob" {
  key_id    = "x"
  plaintext = "y"
}

resource "alicloud_kms_value_added_service" "backups" {
  value_added_service = "2"
}

data "alicloud_kms_aliases" "all" {
}
