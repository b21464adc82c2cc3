resource "alicloud_kms_network_rule" "orders" {
  network_rule_name = "orders"
  source_private_ip = ["10.10.10.10/24"] /* the cluster */
}
