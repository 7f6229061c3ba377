package token

// Verifies exports the bare signature check for the published test vectors, because a Codec rejects their headers and
// payloads.
func (k *Key) Verifies(signed, signature string) bool {
	return k.verifies([]byte(signed), []byte(signature))
}
