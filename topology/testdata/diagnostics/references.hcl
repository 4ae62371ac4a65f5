# References that lead nowhere.
lab "references" {}
network "lan" { prefix = "10.1.0.0/16" }
network "wan" { prefix = "198.51.100.0/24" }
link "dsl" { delay = "4ms" }
node "gw" {
  interface "lan" { network = network.lann } # want: There is no network "lann": Did you mean "lan"?
  interface "wan" {
    network = network.wan
    link    = link.dls # want: There is no link "dls": Did you mean "dsl"?
  }
  connection "office" {
    remote_addrs = [node.pbx.interface.eth1] # want: There is no interface "eth1": node.pbx has none of this name. Did you mean "eth0"?
    child "net" { remote_ts = [network.offce] } # want: There is no network "offce"
  }
}
node "pbx" {
  interface "eth0" {
    network = network.lan
    link    = link.dsl
    address = cidrhost(network.lan.prefx, 9) # want: There is no "prefx" in a network: network.lan has none. Did you mean "prefix"?
  }
}
flow "call" {
  from  = node.pxb # want: There is no node "pxb": Did you mean "pbx"?
  to    = node.gw.interface.lan.address
  start = flow.cal.start # want: There is no flow "cal": Did you mean "call"?
  size  = flow.call.sizes # want: There is no "sizes" in a flow: flow.call has none. Did you mean "size"?
  rate  = "${var.rate}pps" # want: There is no variable "rate"
  stop  = local.stop # want: There is no local value "stop"
}
flow "back" {
  from = "pbx" # want: from takes a reference such as node.gw or node.gw.interface.wan; "pbx" is only a string.
  to   = network.lan # want: network.lan is a network
  size = nodes.gw # want: Unknown name "nodes"
  rate = bar # want: Unknown name "bar"
}
flow "index" {
  from = node.pbx
  to   = node.gw
  size = count.index # want: count is only known in a block with count
  rate = "${each.key}pps" # want: each is only known in a block with for_each
}
step "s" {
  at     = "1s"
  action = link_down(node.gw.interface) # want: link_down takes a reference such as node.gw.interface.wan, not a collection
}
step "t" {
  at     = "1s"
  action = initiate(node.gw.connection.offce) # want: There is no connection "offce": node.gw has none of this name. Did you mean "office"?
}
step "u" {
  at     = "1s"
  action = link_down(node.gw) # want: node.gw is a node
}
step "v" {
  at     = "1s"
  action = unplug(node.gw) # want: There is no function named "unplug"
}
step "w" {
  at     = "1s"
  action = "link_down" # want: Wrong type for action
}
