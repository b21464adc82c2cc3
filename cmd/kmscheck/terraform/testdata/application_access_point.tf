resource "alicloud_kms_application_access_point" "orders" {
  application_access_point_name = "orders"
  policies                      = [alicloud_kms_policy.orders.policy_name] # one for now

  timeouts {
    create = "10m"
  }
}
