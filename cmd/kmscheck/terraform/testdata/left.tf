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

resource "alicloud_kms_ciphertext" "blob" {
  key_id    = "x"
  plaintext = "y"
}
