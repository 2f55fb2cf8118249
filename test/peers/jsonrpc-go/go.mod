module jsonrpc-go

go 1.25.0

require github.com/bootc-dev/jsonrpc-fdpass-go v0.0.0-20260415021005-8c14abba964b

require golang.org/x/sys v0.43.0 // indirect
