resource "alicloud_kms_ciphertext" "token" {
  key_id    = "0f3c7a52-9a11-4f6c-8f5e-0123456789ab"
  plaintext = var.token // from the vault

  encryption_context = {
    app = "orders"
  }
}
