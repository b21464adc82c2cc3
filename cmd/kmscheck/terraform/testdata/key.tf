# Keys of the payments team.
resource "alicloud_kms_key" "orders" {
  description            = "orders" # asked for by audit
  pending_window_in_days = 30
  status                 = "Enabled"

  tags = {
    Team = "payments"
  }
}

resource "alicloud_kms_key" "guarded" {
  description = "has a lifecycle already"

  lifecycle {
    prevent_destroy = true
    ignore_changes  = [description, tags["Team"]]
  }
}

resource "alicloud_kms_key" "each" {
  for_each    = var.keys
  description = each.value
}

resource "alicloud_oss_bucket" "other" {
  bucket = "untouched"
}
