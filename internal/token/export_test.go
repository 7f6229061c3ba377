package token

// Verifies opens the bare signature check to the tests with published vectors,
// whose headers and payloads no Codec writes.
func (k *Key) Verifies(signed, signature string) bool {
	return k.verifies([]byte(signed), []byte(signature))
}
