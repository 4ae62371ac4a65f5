# A path narrower than IKE messages, and than what any report is believed of: packets are cut on the way, and come out of order.
lab "pathmtu-ike" { duration = "12s" }
variable "mtu" {
  type    = number
  default = 300
}
variable "reorder" {
  type    = number
  default = 0.5
}
network "a" { prefix = "203.0.113.0/24" }
network "b" { prefix = "198.51.100.0/24" }
node "client" {
  interface "wan" { network = network.a }
  connection "gw" {
    remote_addrs = [node.gw.interface.wan]
    child "host" { start_action = "start" }
  }
}
node "dsl" {
  implementation = "host"
  interface "in" { network = network.a }
  interface "out" {
    network = network.b
    link    = { delay = "30ms", mtu = var.mtu, reorder = var.reorder }
  }
}
node "gw" {
  interface "wan" {
    network = network.b
    mtu     = var.mtu
  }
  connection "any" {
    child "host" {}
  }
}
secret "k" { secret = "in pieces" }
flow "big" {
  from     = node.client
  to       = node.gw
  protocol = "icmp"
  size     = 1400
  start    = "4s"
  rate     = "2pps"
  packets  = 10
}
expect "up" {
  condition = result.node.client.connection.gw.established && result.flow.big.lost <= 1
}
