resource "alicloud_kms_instance" "main" {
  product_version = "3"
  vpc_id          = var.vpc # of payments
  zone_ids        = ["cn-hangzhou-h", "cn-hangzhou-g"]
  vswitch_ids     = [var.vswitch]
  vpc_num         = "1"
  key_num         = "1000"
  secret_num      = "0"
  spec            = "1000"
}
