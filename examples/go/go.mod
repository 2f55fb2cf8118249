module pull-layer

go 1.25.0
