# A road warrior in a branch whose gateway sends everything through the main office: ESP inside ESP.
lab "pathmtu-nested" { duration = "9s" }
variable "encap" {
  type    = bool
  default = false
}
network "branch" { prefix = "10.1.0.0/24" }
network "internet" { prefix = "203.0.113.0/24" }
network "main" { prefix = "10.2.0.0/24" }
network "partner" { prefix = "172.16.0.0/24" }
node "laptop" {
  interface "eth" { network = network.branch }
  connection "partner" {
    remote_addrs = [node.partner.interface.wan]
    encap        = var.encap
    child "net" {
      remote_ts    = [network.partner]
      start_action = "trap"
    }
  }
}
node "gw-branch" {
  interface "lan" { network = network.branch }
  interface "wan" {
    network = network.internet
    link    = { delay = "10ms", mtu = 1400 }
  }
  connection "main" {
    remote_addrs = [node.gw-main.interface.wan]
    child "all" {
      local_ts     = [network.branch]
      remote_ts    = ["203.0.114.0/29", network.main]
      start_action = "start"
    }
  }
}
node "gw-main" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.main }
  interface "partnerline" { network = network.line }
  connection "branch" {
    remote_addrs = [node.gw-branch.interface.wan]
    child "all" {
      local_ts  = ["203.0.114.0/29", network.main]
      remote_ts = [network.branch]
    }
  }
}
network "line" { prefix = "203.0.114.0/29" }
node "partner" {
  interface "wan" {
    network = network.line
  }
  interface "lan" { network = network.partner }
  connection "any" {
    encap = var.encap
    child "net" { local_ts = [network.partner] }
  }
}
node "srv" {
  implementation = "host"
  interface "eth0" { network = network.partner }
}
secret "s" { secret = "nested" }
flow "ping" {
  from     = node.laptop
  to       = node.srv
  protocol = "icmp"
  start    = "1s"
  packets  = 5
}
flow "big" {
  from    = node.laptop
  to      = node.srv
  size    = 1400
  start   = "2s"
  rate    = "2pps"
  packets = 10
}
expect "both tunnels carry" {
  condition     = result.flow.ping.lost == 0 && result.flow.big.lost <= 1
  error_message = "${result.flow.big.lost} datagrams of 10 are lost"
}
