# A road warrior with both families, inside and outside.
lab "pathmtu-dualstack" { duration = "9s" }
variable "encap" {
  type    = bool
  default = false
}
network "internet" { prefixes = ["198.51.100.0/24", "2001:db8:1::/64"] }
network "office" { prefixes = ["10.1.0.0/24", "2001:db8:2::/64"] }
node "gw" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.office }
  connection "rw" {
    encap = var.encap
    local { id = "gw.example.org" }
    child "all" {
      local_ts  = [network.office]
      remote_ts = [network.internet]
    }
  }
}
node "srv" {
  implementation = "host"
  interface "eth0" { network = network.office }
}
node "phone" {
  for_each = { v4 = "v4", v6 = "v6" }
  interface "wan" {
    network = network.internet
    link    = { delay = "20ms" }
  }
  connection "office" {
    remote_addrs = [each.key == "v4" ? node.gw.interface.wan.address4 : node.gw.interface.wan.address6]
    encap        = var.encap
    local { id = "${each.key}@example.org" }
    remote { id = "gw.example.org" }
    child "all" {
      local_ts     = [node.phone[each.key].interface.wan.address4, node.phone[each.key].interface.wan.address6]
      remote_ts    = [network.office]
      start_action = "start"
    }
  }
}
secret "s" { secret = "both families" }
flow "in4" {
  for_each = { v4 = "1s", v6 = "1s" }
  from     = node.phone[each.key]
  to       = node.srv.interface.eth0.address4
  protocol = "icmp"
  start    = each.value
  rate     = "2pps"
  packets  = 10
}
flow "in6" {
  for_each = { v4 = "1s", v6 = "1s" }
  from     = node.phone[each.key]
  to       = node.srv.interface.eth0.address6
  protocol = "icmp"
  start    = each.value
  rate     = "2pps"
  packets  = 10
}
flow "big6" {
  for_each = { v4 = "1s", v6 = "1s" }
  from     = node.phone[each.key]
  to       = node.srv.interface.eth0.address6
  size     = 1430
  start    = "2s"
  rate     = "2pps"
  packets  = 10
}
expect "all families in all" {
  condition = alltrue([for f in ["v4", "v6"] : result.flow.in4[f].lost == 0 && result.flow.in6[f].lost == 0 && result.flow.big6[f].lost <= 1])
}
