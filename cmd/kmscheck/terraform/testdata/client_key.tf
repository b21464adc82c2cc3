resource "alicloud_kms_client_key" "orders" {
  aap_name              = alicloud_kms_application_access_point.orders.application_access_point_name
  password              = var.password # not here
  not_before            = "2025-09-01T14:11:22Z"
  not_after             = "2028-09-01T14:11:22Z"
  private_key_data_file = "./private_key_data_file.txt"
}
