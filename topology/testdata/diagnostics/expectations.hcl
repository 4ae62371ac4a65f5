# What expectations may say.
lab "expectations" {
  duration       = "10s"
  engines_differ = "" # want: engines_differ is empty; it takes a string.
}
network "lan" { prefix = "10.1.0.0/16" }
node "a" {
  interface "lan" { network = network.lan }
  connection "to-b" {
    remote_addrs = [node.b.interface.lan]
    child "net" {}
  }
}
node "b" {
  interface "lan" { network = network.lan }
}
secret "psk" { secret = "x" }
flow "call" {
  from    = node.a
  to      = node.b
  packets = result.flow.call.received # want: result is only known in expect
}
step "cut" {
  at     = "${event_count({ event = "ike-established" })}s" # want: event_count is only known in expect
  action = link_down(node.a.interface.lan)
}
expect "field" {
  condition = result.flow.call.longst_gap < 2 # want: There is no result "longst_gap" of a flow: Did you mean "longest_gap"?
}
expect "configuration" {
  condition = result.flow.call.rate > 2 # want: It is configuration: write flow.call.rate.
}
expect "flow" {
  condition = result.flow.cal.received > 2 # want: There is no flow "cal": Did you mean "call"?
}
expect "kind" {
  condition = result.flows.call.received > 2 # want: There is no result "flows": Did you mean "flow"?
}
expect "connection" {
  condition = result.connection["a"]["to-b"].established # want: Results of a connection are with its node
}
expect "connection-name" {
  condition = result.node.a.connection.to_b.established # want: There is no connection "to_b": node.a has none of this name. Did you mean "to-b"?
}
expect "connection-field" {
  condition = result.node.a.connection.to-b.establisched # want: There is no result "establisched" of a connection: Did you mean "established"?
}
expect "child-field" {
  condition = result.node.a.connection.to-b.child.net.packets > 0 # want: There is no result "packets" of a child: Did you mean "packets_in"?
}
expect "type" {
  condition = result.flow.call.received # want: A condition is true or false; this is number
}
expect "string" {
  condition = result.flow.call.received > "many" # want: Invalid operand
}
expect "constant" {
  condition = flow.call.rate == 1 # want: Condition without a result
}
expect "selector" {
  condition = event_count({ event = "ike-establishd" }) == 1 # want: There is no event "ike-establishd". Did you mean "ike-established"?
}
expect "selector-node" {
  condition = event_count({ event = "ike-established", node = "a" }) == 1 # want: "a" is only a string
}
expect "message" {
  condition     = result.flow.call.received > 3
  error_message = "only ${result.flow.call.recieved}" # want: There is no result "recieved" of a flow: Did you mean "received"?
}
expect "modes" {
  condition = result.flow.call.received > 3
  within    = "2s" # want: within and always exclude each other
  always    = true
}
expect "late" {
  condition = result.flow.call.received > 3
  within    = "20s" # want: Expectation beyond the lab's end
}
expect "later" {
  condition = result.flow.call.received > 3
  after     = "20s" # want: Expectation beyond the lab's end
}
expect "none" { # want: Missing condition
}
expect "whole" {
  condition = result.flow.call == 3 && result.node.a.interface.lan.up # want: There are no results of a interface
}
