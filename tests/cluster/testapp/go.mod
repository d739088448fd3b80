module progressive.delivery/tests/cluster/testapp

go 1.24.0
