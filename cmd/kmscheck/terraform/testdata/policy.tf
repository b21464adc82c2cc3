resource "alicloud_kms_policy" "orders" {
  policy_name     = "orders"
  kms_instance_id = "kst-hzz62f1cb66fa42qo1234"
  permissions     = ["RbacPermission/Template/CryptoServiceKeyUser"]
  resources       = ["secret/*", "key/0f3c7a52-9a11-4f6c-8f5e-0123456789ab", "key/another"] # least privilege
  access_control_rules = jsonencode({
    NetworkRules = [alicloud_kms_network_rule.orders.network_rule_name]
  })
}
