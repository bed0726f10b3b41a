// Command stubgen compiles the API's proto files into the Go package api.
//
// It compiles the files itself, so no protoc has to be installed, and runs the two generators whose
// versions ../go.mod pins: protoc-gen-go for the messages, protoc-gen-go-grpc for the services.
//
// The messages are generated under the proto packages "conclave.client.…" and not under etcd's own
// names. protobuf-go has one registry for all types of a program and panics if two files register
// the same name, so with etcd's names no program could link this client together with
// go.etcd.io/etcd/api. The names of messages are not on the wire. The names of services are, in
// the path of each call, so they are set back to etcd's in what is generated for gRPC.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// prefix is put before the name of each proto package, and of each file.
const prefix = "conclave.client."

var (
	protos  = flag.String("protos", "", "folder of the proto files")
	out     = flag.String("out", "", "folder for the generated files")
	plugins = flag.String("plugins", "", "folder of the generators' binaries")
	files   = []string{"etcd/kv.proto", "etcd/auth.proto", "etcd/rpc.proto", "etcd/lock.proto", "etcd/election.proto"}
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal("stubgen: ", err)
	}
}

func run() error {
	request, err := compile()
	if err != nil {
		return err
	}
	if err := generate("protoc-gen-go", request, nil); err != nil {
		return err
	}
	return generate("protoc-gen-go-grpc", request, func(content string) string {
		return strings.ReplaceAll(content, prefix, "")
	})
}

// compile returns what protoc would send to a generator.
func compile() (*pluginpb.CodeGeneratorRequest, error) {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{Accessor: open},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	request := &pluginpb.CodeGeneratorRequest{Parameter: proto.String("paths=source_relative")}
	for _, file := range files {
		request.FileToGenerate = append(request.FileToGenerate, renamed(file))
	}
	compiled, err := compiler.Compile(context.Background(), request.FileToGenerate...)
	if err != nil {
		return nil, err
	}
	for _, file := range compiled {
		descriptor := protoutil.ProtoFromFileDescriptor(file)
		if descriptor.Options == nil {
			descriptor.Options = &descriptorpb.FileOptions{}
		}
		descriptor.Options.GoPackage = proto.String("conclave.dev/client/api")
		request.ProtoFile = append(request.ProtoFile, descriptor)
	}
	return request, nil
}

// open returns a proto file with its package and its imports renamed.
func open(path string) (io.ReadCloser, error) {
	content, err := os.ReadFile(filepath.Join(*protos, "etcd", filepath.Base(path)))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(content), "\n")
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, "package "); ok {
			lines[i] = "package " + prefix + name
		}
		if name, ok := strings.CutPrefix(line, `import "`); ok {
			lines[i] = `import "` + renamed(name)
		}
	}
	return io.NopCloser(strings.NewReader(strings.Join(lines, "\n"))), nil
}

// renamed returns the path under which a file is registered; it must be unlike etcd's, too.
func renamed(path string) string {
	return "conclave/client/" + filepath.Base(path)
}

// generate runs a generator and writes its files, after edit.
func generate(plugin string, request *pluginpb.CodeGeneratorRequest, edit func(string) string) error {
	input, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	command := exec.Command(filepath.Join(*plugins, plugin))
	command.Stdin = bytes.NewReader(input)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", plugin, err)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return fmt.Errorf("%s: %w", plugin, err)
	}
	if response.Error != nil {
		return fmt.Errorf("%s: %s", plugin, *response.Error)
	}
	for _, file := range response.File {
		content := file.GetContent()
		if edit != nil {
			content = edit(content)
		}
		target := filepath.Join(*out, filepath.Base(file.GetName()))
		if err := os.WriteFile(target, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
