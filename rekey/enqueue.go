package rekey

// Enqueue queues a rewrite of a record that its reader knows to be stale, without having opened it here: package shim marks such reads. It is what
// Open does after it has decrypted, and like Open it neither waits nor fails, and has a copy of the record. A record that turns
// out to be new already is left as it is, so enqueuing one too many costs no more than a look at its header.
func (r *Rekeyer) Enqueue(rec Record) { r.enqueue(rec) }
