# The name that every application uses.
resource "alicloud_kms_alias" "orders" {
  alias_name = "alias/orders"
  key_id     = "0f3c7a52-9a11-4f6c-8f5e-0123456789ab" // the key of 2019
}

resource "alicloud_kms_alias" "follows" {
  alias_name = "alias/follows"
  key_id     = alicloud_kms_key.orders.id # follows its resource
}
