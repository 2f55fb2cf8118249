module github.com/varlink/go

go 1.25.0
