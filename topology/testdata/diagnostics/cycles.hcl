# Values that need each other.
lab "cycles" {}
locals {
  a = local.b + 1 # want: local.a → local.b → local.c → local.a
  b = local.c + 1
  c = local.a + 1
}
network "lan" { prefix = "10.1.0.0/16" }
link "x" {
  delay = link.x.delay # want: link.x.delay → link.x.delay
}
node "a" {
  interface "eth0" {
    network = network.lan
    link    = link.x
    address = node.b.interface.eth0.address # want: node.a.interface.eth0.address → node.b.interface.eth0.address
  }
}
node "b" {
  interface "eth0" {
    network = network.lan
    address = node.a.interface.eth0.address
  }
}
flow "one" {
  count = length(flow.one) # want: flow.one (count) → flow.one (count)
  from  = node.a
  to    = node.b
  size  = local.a
}
