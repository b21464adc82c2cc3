resource "alicloud_kms_key_version" "second" {
  key_id = alicloud_kms_key.orders.id # rotated by hand
}
