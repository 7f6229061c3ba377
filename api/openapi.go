package api

import _ "embed" // the file below

//go:embed openapi.yaml
var openAPI string

// OpenAPI returns the OpenAPI 3.1 description of every call, in YAML.
func OpenAPI() string { return openAPI }
